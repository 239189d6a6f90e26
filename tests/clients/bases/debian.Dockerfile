# The smallest Debian that apt works in; root.tar is made by base-image.
FROM scratch
ADD root.tar /
# Clients with a certificate list of their own use the system's instead, which
# also holds what a TLS-inspecting proxy in front of this machine needs.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
CMD ["bash"]
