"""The MONAI Label application: atlas segmentation, registration and follow-up as a server that 3D Slicer talks to."""
