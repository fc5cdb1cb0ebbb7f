"""ONNX files: conversion to float32 and float16, and a rewrite that only ONNX can express."""
