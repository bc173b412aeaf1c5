"""Quality of masks and class maps against labels, on synthetic scenes and on datasets."""
