"""The mixing stage for NVIDIA DALI."""
