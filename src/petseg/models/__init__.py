"""The architectures, a paper each. Empty on purpose: `petseg.models.unet` stays a module."""
