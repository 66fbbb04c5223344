"""Artefacts for phones and servers: TFLite, SavedModel."""
