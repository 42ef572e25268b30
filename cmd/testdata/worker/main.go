// Worker is the program in the image of the tests: it does what the script of native mode does. Arguments: the version,
// and a text; if that is not empty, the worker exits at once with status 3.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	token := "/out/token-" + os.Getenv("BAETYL_SERVICE_INSTANCE_NAME")
	if err := os.WriteFile(token, []byte(os.Getenv("BAETYL_SERVICE_TOKEN")), 0o600); err != nil {
		panic(err)
	}
	if len(os.Args) > 2 && os.Args[2] != "" {
		os.Exit(3)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	<-asked
}
