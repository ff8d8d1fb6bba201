"""How a trained network does, and how far the numbers can be trusted.

    python -m train.evaluate runs/zhang2019theoretically/last.pt --parts clean calibration pgd20 doubts

Each part is a module with one function: networks and test images in, a dict of plain numbers out. `parts` lists them.
"""
