package record

import "github.com/256dpi/gomqtt/packet"

// Published is a Publish record that is decoded as far as it is asked for. Its slices point into the record.
type Published struct {
	Retain   bool
	Receiver uint64 // 0: none
	ID       packet.ID
	Will     []byte // nil: none
	targets  uint64
	rest     []byte // targets and message
}

// DecodePublish decodes the body of a Publish record.
func DecodePublish(body []byte) (p Published, err error) {
	r := reader{b: body}
	flags := r.byte()
	p.Retain = flags&flagRetain != 0
	if flags&flagReceiver != 0 {
		p.Receiver, p.ID = r.number(), r.id()
		r.failed = r.failed || p.Receiver == 0
	}
	if flags&flagWill != 0 {
		p.Will = r.text()
		r.failed = r.failed || len(p.Will) == 0
	}
	p.targets = r.number()
	p.rest = r.b
	if r.failed || flags&^flagsPublish != 0 || p.targets > uint64(len(p.rest)) {
		return Published{}, ErrDamaged
	}
	return p, nil
}

// Len returns the number of targets.
func (p *Published) Len() int { return int(p.targets) }

// Targets returns the targets, to be read with Next.
func (p *Published) Targets() Targets { return Targets{r: reader{b: p.rest}, n: p.targets} }

// Message decodes the message.
func (p *Published) Message() (*Message, error) {
	b, err := p.MessageBytes()
	if err != nil {
		return nil, err
	}
	return DecodeMessage(b)
}

// Find returns the first target of a session whose position is not below from.
func (p *Published) Find(session, from uint64) (Target, bool) {
	for t := p.Targets(); ; {
		x, ok := t.Next()
		if !ok || x.Session == session && x.Position >= from {
			return x, ok
		}
	}
}

// Targets reads the targets of a Publish record.
type Targets struct {
	r reader
	n uint64
}

// Next returns the next target; false at the end, or if the rest is damaged.
func (t *Targets) Next() (x Target, ok bool) {
	if t.n == 0 || t.r.failed {
		return Target{}, false
	}
	t.n--
	flags := t.r.byte()
	x = Target{
		QOS: packet.QOS(flags & maskQOS >> shiftQOS), Retained: flags&flagRetained != 0,
		Session: t.r.number(), Position: t.r.number(),
	}
	if t.r.failed || flags&^flagsTarget != 0 || x.QOS == 0 || x.QOS > 2 {
		t.r.failed = true
		return Target{}, false
	}
	return x, true
}

// DecodeAcked decodes the body of an Acked record. state points into it, head is the number at its beginning.
func DecodeAcked(body []byte) (session, head uint64, state []byte, err error) {
	r := reader{b: body}
	session = r.number()
	state = r.b
	head = r.number()
	if r.failed {
		return 0, 0, nil, ErrDamaged
	}
	return session, head, state, nil
}

// DecodePutSession decodes the body of a PutSession record.
func DecodePutSession(body []byte) (number uint64, client, user string, err error) {
	r := reader{b: body}
	number, client, user = r.number(), string(r.text()), string(r.text())
	return number, client, user, r.err()
}

// DecodeDeleteSession decodes the body of a DeleteSession record.
func DecodeDeleteSession(body []byte) (number uint64, err error) {
	r := reader{b: body}
	number = r.number()
	return number, r.err()
}

// DecodePutFilter decodes the body of a PutFilter record. filter points into it.
func DecodePutFilter(body []byte) (session uint64, filter []byte, qos packet.QOS, err error) {
	r := reader{b: body}
	session, qos = r.number(), packet.QOS(r.byte())
	filter = r.text()
	r.failed = r.failed || qos > 2
	return session, filter, qos, r.err()
}

// DecodeDeleteFilter decodes the body of a DeleteFilter record. filter points into it.
func DecodeDeleteFilter(body []byte) (session uint64, filter []byte, err error) {
	r := reader{b: body}
	session, filter = r.number(), r.text()
	return session, filter, r.err()
}

// DecodeDeleteReceived decodes the body of a DeleteReceived record.
func DecodeDeleteReceived(body []byte) (session uint64, id packet.ID, err error) {
	r := reader{b: body}
	session, id = r.number(), r.id()
	return session, id, r.err()
}

// DecodePutWill decodes the body of a PutWill record. client and message, in the encoding of DecodeMessage, point into
// it.
func DecodePutWill(body []byte) (client, message []byte, err error) {
	r := reader{b: body}
	client = r.text()
	if r.failed {
		return nil, nil, ErrDamaged
	}
	return client, r.b, nil
}

// DecodeDeleteWill decodes the body of a DeleteWill record. client points into it.
func DecodeDeleteWill(body []byte) (client []byte, err error) {
	r := reader{b: body}
	client = r.text()
	return client, r.err()
}

// MessageBytes returns the message in the encoding of DecodeMessage, pointing into the record.
func (p *Published) MessageBytes() ([]byte, error) {
	t := p.Targets()
	for ok := true; ok; {
		_, ok = t.Next()
	}
	if t.r.failed {
		return nil, ErrDamaged
	}
	return t.r.b, nil
}

// Peek returns the topic of an encoded message, pointing into it, and the size of its payload.
func Peek(message []byte) (topic []byte, payload int, err error) {
	r := reader{b: message}
	flags := r.byte()
	topic = r.text()
	if flags&flagProperties != 0 {
		r.text()
	}
	if r.failed {
		return nil, 0, ErrDamaged
	}
	return topic, len(r.b), nil
}
