"""Other people's things as the engine takes them: models, pictures and data sets, one file a library."""
