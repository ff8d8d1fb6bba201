"""The mixing methods: one file each."""
