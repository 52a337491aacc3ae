"""The rules: pure state machines. No clock, thread, input, output, randomness, protobuf or logging."""
