"""Object detection values and algorithms: usable without Apache Beam."""
