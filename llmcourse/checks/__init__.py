"""What an exercise's answer is compared with: one module for each lesson."""
