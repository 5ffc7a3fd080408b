"""Files on s3://, gs://, hdfs:// and whatever else Beam knows, as `od_core.storage` asks for them."""
