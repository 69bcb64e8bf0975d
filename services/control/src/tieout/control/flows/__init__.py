"""One file per thing that control hears."""
