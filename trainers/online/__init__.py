"""What the online methods share: they sample from the policy that they train."""
