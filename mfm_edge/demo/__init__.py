"""The main job on a clip that comes with the package: python -m mfm_edge.demo."""
