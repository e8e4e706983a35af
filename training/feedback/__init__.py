"""What is made of the raw log: labels for training, and live features built again."""
