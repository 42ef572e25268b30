// Worker is the program in the image of the tests: it does what the script of native mode does. Arguments: version, and what is not
// empty when it is to fall.
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
