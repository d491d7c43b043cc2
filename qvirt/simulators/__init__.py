"""One module per engine behind one contract (contract.py), and the choice among them (choice.py)."""
