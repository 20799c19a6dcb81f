"""What the book needs beside the science: parameters, printed and kept tables, findings, explorers."""
