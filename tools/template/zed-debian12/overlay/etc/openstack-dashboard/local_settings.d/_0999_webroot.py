# Static files are compressed for this address while the template is baked.
WEBROOT = "/dashboard/"
