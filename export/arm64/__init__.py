"""Exported files on 64-bit ARM, in an emulator, beside x86-64."""
