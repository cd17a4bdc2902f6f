"""What a person looks at after a training: one page with figures of data, curves, errors and structures."""
