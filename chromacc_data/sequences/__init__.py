"""DNA: genomes in FASTA files, base codes and one-hot arrays."""
