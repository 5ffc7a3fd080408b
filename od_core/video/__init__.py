"""Videos: every frame of a file exactly as one decoder gives it, whole or in ranges, and writing new ones."""
