"""Studies: many trainings set side by side, and what they say."""
