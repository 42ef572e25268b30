// Command baetyl-timer publishes a message to the hub on an interval. It reads etc/baetyl/service.yml:
//
//	timer:
//	  interval: 10s        # default 1m; the first message comes after one interval
//	publish:
//	  topic: t             # default timer
//	  qos: 1               # default 0
//	  payload:             # any JSON object; the key time is set to the seconds since 1970
//	    id: 1
package main

import (
	"time"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() {
	baetyl.Run(func(ctx baetyl.Context) error {
		var cfg config
		if err := ctx.LoadConfig(&cfg); err != nil {
			return err
		}
		hub, err := ctx.NewHubClient("", nil)
		if err != nil {
			return err
		}
		if err := hub.Start(nil); err != nil {
			return err
		}
		ticker := time.NewTicker(cfg.Timer.Interval)
		defer ticker.Stop()
		run(ctx.Done(), ticker.C, cfg.Publish.Payload, func(payload []byte) {
			if err := hub.Publish(cfg.Publish.target(), payload); err != nil {
				ctx.Log().WithError(err).Errorf("message is not sent")
			}
		})
		return nil
	})
}
