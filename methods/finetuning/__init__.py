"""Fine-tuning: the pretrained network's own layers are trained on, all or some of them."""
