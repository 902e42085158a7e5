"""Cameras and videos: where frames come from, faces followed over them, voted verdicts, rules, events."""
