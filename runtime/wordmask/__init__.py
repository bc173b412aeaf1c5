"""Words in, masks out: training-free open-vocabulary segmentation without torch."""
