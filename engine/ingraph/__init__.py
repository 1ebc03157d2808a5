"""Searches that run inside an exported model: written with a graph builder, answer for answer those of the engine."""
