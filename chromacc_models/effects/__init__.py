"""What single bases do to a trained network's answer, exactly."""
