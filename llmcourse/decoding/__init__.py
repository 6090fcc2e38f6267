"""The visible loop, and all that opens `generate`: its preparation, its ways, its stops."""
