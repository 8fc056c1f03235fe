"""The tables: their columns, the rules that hold on every kind of write, the indexes that lists need."""
