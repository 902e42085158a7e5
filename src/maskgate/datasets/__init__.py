"""From pictures to a training folder: collecting, cleaning, splitting, painting, viewing, converting."""
