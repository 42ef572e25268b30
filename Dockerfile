# The image of a Go module: its static program, CA roots, an empty /tmp, and nothing else. scripts/image.sh writes the module's name for
# MODULE and lays out a folder for each platform in the context. Time zones are in the program.
FROM scratch
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/ /
ENTRYPOINT ["MODULE"]
