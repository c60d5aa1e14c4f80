"""Rewards of online methods: what a completion is worth, told by a reward model, a check in code, a judge, or a weighted mixture of them."""
