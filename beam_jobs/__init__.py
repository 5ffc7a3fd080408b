"""The command line: one module per job, `boxbeam JOB` or `python -m beam_jobs.JOB`."""
