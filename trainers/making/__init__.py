"""What methods that make their own training data share: samples of the model, work kept over a kill, and stages of training."""
