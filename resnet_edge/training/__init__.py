"""Fine-tuning: a classifier and labelled pictures in, trained weights and their record out."""
