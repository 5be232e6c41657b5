"""Kill -9 at random moments: are the bytes of every step the same afterwards as if nothing had happened?"""
