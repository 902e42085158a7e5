"""The HTTP service: pictures in, verdicts out; events, statistics and cameras to look at."""
