"""What each GAN consists of, without a backend; a module for each."""
