package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	gcs "cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// mean says of a store's error what it means.
func (b *bucket) mean(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	status := b.status(err)
	switch {
	case b.noBucket(err):
		return ErrNoBucket
	case gcerrors.Code(err) == gcerrors.NotFound, status == http.StatusNotFound:
		return fs.ErrNotExist
	case gcerrors.Code(err) == gcerrors.FailedPrecondition, status == http.StatusPreconditionFailed, status == http.StatusConflict:
		return ErrChanged
	case gcerrors.Code(err) == gcerrors.PermissionDenied, status == http.StatusForbidden:
		return fmt.Errorf("%w (%w)", fs.ErrPermission, answer{err})
	case status == http.StatusNotImplemented:
		return fmt.Errorf("%w (%w)", errors.ErrUnsupported, answer{err})
	case retryable(status), status == 0 && broken(err):
		return temporary(answer{err})
	case status/100 == 2: // said yes, and its body could not be read to its end
		return temporary(answer{err})
	}
	return answer{err}
}

// status is that of the answer which an error is of; 0: there was none.
func (b *bucket) status(err error) int {
	var s3 interface{ HTTPStatusCode() int }
	var google *googleapi.Error
	var azure *azcore.ResponseError
	switch {
	case errors.As(err, &s3):
		return s3.HTTPStatusCode()
	case b.b.ErrorAs(err, &google):
		return google.Code
	case b.b.ErrorAs(err, &azure):
		return azure.StatusCode
	}
	return 0
}

// noBucket says whether a store said that the bucket, or container, is not there. S3 says that of
// requests whose answers have bodies, as descriptions of objects do not.
func (b *bucket) noBucket(err error) bool {
	var s3 smithy.APIError
	var azure *azcore.ResponseError
	return errors.Is(err, gcs.ErrBucketNotExist) || errors.As(err, &s3) && s3.ErrorCode() == "NoSuchBucket" ||
		b.b.ErrorAs(err, &azure) && azure.ErrorCode == string(bloberror.ContainerNotFound)
}

// answer is a store's error, or one of the way to it, told without its requests' numbers and
// what URLs in it may hide.
type answer struct{ error }

func (a answer) Unwrap() error { return a.error }

func (a answer) Error() string {
	var said smithy.APIError
	var sent *smithyhttp.RequestSendError
	switch {
	case errors.As(a.error, &said) && said.ErrorMessage() != "":
		return said.ErrorCode() + ": " + said.ErrorMessage()
	case said != nil:
		return said.ErrorCode()
	case errors.As(a.error, &sent):
		return veiled{sent.Err}.Error()
	}
	return veiled(a).Error()
}
