// go-qemu: one reader for answers and events, and no line longer than 64 KiB.
package main

import (
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	"github.com/digitalocean/go-qemu/qmp"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func answer(domain *qemu.Domain, step []any) map[string]any {
	raw, err := domain.Run(qmp.Command{Execute: step[0].(string), Args: step[1]})
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	var reply map[string]any
	check(json.Unmarshal(raw, &reply))
	return map[string]any{"return": reply["return"]}
}

// collect keeps what was told until the connection ends; unread events hold up the answers.
func collect(told <-chan qmp.Event, events chan<- []string) {
	names := []string{}
	for event := range told {
		names = append(names, event.Event)
	}
	events <- names
}

func main() {
	var script [][]any
	check(json.Unmarshal([]byte(os.Args[2]), &script))
	monitor, err := qmp.NewSocketMonitor("unix", os.Args[1], time.Minute)
	check(err)
	check(monitor.Connect())
	domain, err := qemu.NewDomain(monitor, "clients")
	check(err)
	told, _, err := domain.Events()
	check(err)
	events := make(chan []string)
	go collect(told, events)
	answers := []any{}
	for _, step := range script {
		answers = append(answers, answer(domain, step))
	}
	status, err := domain.Status()
	check(err)
	version, err := domain.Version()
	check(err)
	check(domain.Close())
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"answers": answers, "events": <-events, "status": status, "version": version,
	}))
}
