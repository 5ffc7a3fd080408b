"""The work engine and the jobs that run on it."""
