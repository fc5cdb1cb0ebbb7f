"""The network: ResNet50, its weights, and the file that a fine-tuned model is kept in. Plain Keras
3.
"""
