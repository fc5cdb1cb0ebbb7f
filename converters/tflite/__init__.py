"""TFLite files: conversion to float32, the flatbuffer, and the metadata that travels inside."""
