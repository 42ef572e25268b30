// Actor is the program in the images of the tests: it does what its first argument says.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "run":
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		fmt.Println("up")
		<-asked
	case "succeed":
	case "fail":
		fmt.Fprintln(os.Stderr, "boom")
		os.Exit(3)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("up")
		forever()
	case "slow": // without a handler for SIGTERM at first, as a program that is still starting
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		time.Sleep(700 * time.Millisecond)
		term := make(chan os.Signal, 1) // one is enough
		signal.Notify(term, syscall.SIGTERM)
		<-term
	case "leave":
		if err := exec.Command("/proc/self/exe", "deaf").Start(); err != nil {
			fmt.Println(err)
		}
		fmt.Println("up")
	case "env":
		fmt.Println("BAETYL_SERVICE_TOKEN=" + os.Getenv("BAETYL_SERVICE_TOKEN"))
		fmt.Println("X=" + os.Getenv("X"))
		fmt.Println("BAETYL_SERVICE_RUN_DIR=" + os.Getenv("BAETYL_SERVICE_RUN_DIR"))
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
	case "eat": // memory without end
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
		}
	case "parent": // of a child that eats; it says when that has ended
		_ = exec.Command("/proc/self/exe", "eat").Run()
		fmt.Println("child ended")
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
	case "burn": // all that a core has
		fmt.Println("up")
		for {
		}
	case "socket": // in the run folder
		dir := os.Getenv("BAETYL_SERVICE_RUN_DIR")
		others, err := os.ReadDir(dir)
		if err != nil {
			fmt.Println(err)
		}
		if _, err := net.Listen("unix", dir+"/"+os.Args[2]); err != nil {
			fmt.Println(err)
		}
		fmt.Printf("listening in %s, beside %d others\n", dir, len(others))
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
	case "resolve": // prints the address of a name once it has one
		for {
			if found, err := net.LookupHost(os.Args[2]); err == nil {
				fmt.Println("found", len(found))
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		forever()
	case "count": // a line every 50 ms
		for n := 0; ; n++ {
			fmt.Println("n=" + strconv.Itoa(n))
			time.Sleep(50 * time.Millisecond)
		}
	case "flood": // so many lines, 2,000 a second, in turns to stdout and stderr
		total, _ := strconv.Atoi(os.Args[2])
		began := time.Now()
		for n := 0; n < total; n++ {
			if ahead := time.Duration(n)*time.Second/2000 - time.Since(began); ahead > 0 {
				time.Sleep(ahead)
			}
			fmt.Fprintf([]*os.File{os.Stdout, os.Stderr}[n%2], "n=%d.\n", n)
		}
	case "burst": // so many lines of 1000 bytes at once, one of 100 KiB, and the end
		total, _ := strconv.Atoi(os.Args[2])
		for n := 0; n < total; n++ {
			fmt.Printf("n=%d.%s\n", n, strings.Repeat("x", 990))
		}
		fmt.Println(strings.Repeat("y", 100<<10))
		fmt.Println("last words")
		os.Exit(3)
	case "int": // ends with SIGINT alone, and says so
		signal.Ignore(syscall.SIGTERM)
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGINT)
		fmt.Println("up")
		<-asked
		fmt.Println("asked")
	case "who":
		fmt.Println("uid", os.Getuid(), "gid", os.Getgid())
		forever()
	case "listen": // at a port, and writes a word to whoever connects
		l, err := net.Listen("tcp", ":"+os.Args[2])
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("up")
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, os.Args[3])
			conn.Close()
		}
	case "exists": // a file, or else its status is 1
		if _, err := os.Stat(os.Args[2]); err != nil {
			os.Exit(1)
		}
	case "write": // tells whether a file can be written
		fmt.Println("error:", os.WriteFile(os.Args[2], []byte("x"), 0o644) != nil)
		forever()
	}
}

func forever() {
	for {
		time.Sleep(time.Hour) // select {} would be a deadlock to the runtime
	}
}
