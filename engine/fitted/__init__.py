"""What is fitted once on a user's pictures, saved, and used again: concepts of a class, prototypes of channels."""
