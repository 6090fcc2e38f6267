"""A decode step written by hand, for a Llama alone: in torch, compiled or not, and in C++."""
