"""Things drawn on faces for training and examples: masks worn well or badly, hands, scarves."""
