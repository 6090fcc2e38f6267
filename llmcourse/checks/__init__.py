"""What an exercise's answer is held against: one module for each lesson."""
